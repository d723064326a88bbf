"""`python -m bridge.control` is `tailrace`: what the supervisor starts, whatever PATH says."""

from bridge.control.cli import main

if __name__ == "__main__":
    main()
