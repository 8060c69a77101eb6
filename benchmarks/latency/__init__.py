"""How long a shopper waits: whole answers, first words, each step of the budget, behind a heavy-tailed provider."""
