"""The SQL of a data folder's first start."""


def first_words(password: str) -> str:
    """Return the statements that make the role and the database, one a line as single-user mode wants them.

    Args:
        password: Letters, digits, `-` and `_` only, so that it needs no quoting.
    """
    return (
        f"ALTER ROLE postgres PASSWORD '{password}'\n"
        f"CREATE ROLE agentflow LOGIN CREATEDB CREATEROLE PASSWORD '{password}'\n"
        "CREATE DATABASE agentflow OWNER agentflow\n"
    )
