"""`python -m hapenny`."""

from hapenny.cli.main import main

if __name__ == "__main__":
    main()
