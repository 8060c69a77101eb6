"""`python -m mangaassist`."""

from mangaassist.cli import main

main()
