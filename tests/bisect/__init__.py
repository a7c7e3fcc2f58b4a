"""Tests of releases, histories and bisections."""  # noqa: A005 - it is tests.bisect
