"""The recipes of docs/recipes.md, which cases run as they stand there."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"

# What is defined lives on, as in a module.
followed = {}


def follow(heading, name="recipe"):
    """
    Run the code below `heading` as that of the module `name`, and return what
    it defines, by name.
    """
    _, begin, rest = PAGE.read_text(encoding="utf-8").partition(f"# {heading}\n")
    code, end, _ = rest.partition("```python\n")[2].partition("\n```")
    if not begin or not end:
        raise LookupError(f"{PAGE} has no code below {heading}.")
    defined = followed[heading] = {"__name__": name}
    exec(compile(code, heading, "exec"), defined)
    return defined
