"""What is told beside a price: whether a deal is good, like cars, the price in some years, a quote."""
