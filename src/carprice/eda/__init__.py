"""A look at the data: a market's listings as one page of HTML, before anything is learned."""
