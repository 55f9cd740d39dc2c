"""Bounds of one expression. Together they stop any expression within some tens of milliseconds."""

from typing import Final

# Characters of an expression's text.
MAX_TEXT: Final = 2048

# Levels of nesting. Parser, builder and evaluators take up to five frames a level, Python allows 1,000 in all.
MAX_DEPTH: Final = 120

# Node visits plus list lengths. One unit costs some 100 ns.
FUEL: Final = 100_000

# One unit of fuel pays for this many characters that a function reads or writes.
CHARACTERS_PER_UNIT: Final = 256

# A result that was built rather than found: values in it, and characters of its texts.
MAX_RESULT_VALUES: Final = 100_000
MAX_RESULT_CHARACTERS: Final = 16 * 1024 * 1024

# Integers beyond this are not the same number in every JSON reader (RFC 8259, section 6).
MAX_INTEGER: Final = 2**53
