"""`python -m bff` is the `bff` command."""

import sys


def main() -> None:
    """The command; a Ctrl-C while its first imports run ends it without a word, too."""
    try:
        from bff.cli import main as command  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
