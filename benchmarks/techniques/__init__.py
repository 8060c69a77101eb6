"""Each technique alone, off against on, with the options it is shipped with."""
