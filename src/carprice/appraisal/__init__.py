"""What is told beside a price: how good a deal is, like cars, the price in some years, a quote."""
