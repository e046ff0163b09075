"""Pages for people beside ``/app``: the card of the served model, and a stock that is priced."""
