"""What is downloaded from the registry is what is tested, before it may go to production."""
