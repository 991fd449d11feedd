"""``python -m monohull`` is the ``monohull`` command."""

from monohull.cli import main

if __name__ == "__main__":
    main()
