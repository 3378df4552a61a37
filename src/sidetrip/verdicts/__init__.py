"""The paper's statements, each with the number that decides it, its interval and its verdict."""
