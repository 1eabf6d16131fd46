"""The figures of `scripts/bench`: one module a chapter, each with a function `take(report)`."""
