"""The embedded market: made-up listings whose true prices are known."""
