"""What each command of the command line does: read, call the layers below, print.

Plain results go to stdout, everything else to stderr; with `-o json` stdout gets exactly one document.
"""
