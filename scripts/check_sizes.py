#!/usr/bin/env python3
"""Checks the sizes that keep every file readable: header ≤ 150 lines, .cpp ≤ 400 (a warning; 600 an
error), function ≤ 60, forward ≤ 40. Tests: file ≤ 600. No to-do notes anywhere.
Prints each offender and exits 1.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER, BODY, BODY_HARD, FUNCTION, FORWARD = 150, 400, 600, 60, 40
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
TO_DO = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# Comments and literals, blanked so that braces inside them do not count; line breaks are kept.
NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'", re.DOTALL)
NOT_A_FUNCTION = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b(?![^{}();]*\()")
CONTROL = {"if", "for", "while", "switch", "catch", "return", "else", "do"}
NAME = re.compile(r"((?:operator\s*[^\s\w(]+|operator\s*\(\)|[~\w]+))\s*(?:<[^<>]*>)?\s*\(")


def blank(text):
    return NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def function_name(head):
    """The name of the function whose text before its brace is `head`; None if it is none."""
    head = re.sub(r"^\s*#[^\n]*(?:\\\n[^\n]*)*$", " ", head, flags=re.MULTILINE)
    head = re.sub(r"^\s*(public|private|protected)\s*:", " ", head)
    while (shorter := re.sub(r"^\s*(template\s*<(?:[^<>]|<[^<>]*>)*>|\[\[[^\]]*\]\])", " ", head)) != head:
        head = shorter
    if "(" not in head or NOT_A_FUNCTION.search(head) or head.rstrip().endswith(("=", ",", "(")):
        return None
    match = NAME.search(head)
    return match.group(1) if match and match.group(1) not in CONTROL else None


def functions(text):
    """Yields (name, first line, lines) of every outermost function body."""
    clean = blank(text)
    stack, start, opened = [], 0, None  # stack: what each open brace began
    for i, c in enumerate(clean):
        if c == "{":
            head = clean[start:i]
            if not opened and ")" in head and re.search(r"[\w>]$", head):
                stack.append("initialiser")  # `: member_{value}` of a constructor, its body follows
                continue
            name = None if opened else function_name(head)
            if name:
                first = start + len(head) - len(head.lstrip())
                opened = (name, clean.count("\n", 0, first) + 1, len(stack))
            stack.append("block")
        elif c == "}":
            if stack and stack.pop() == "initialiser":
                continue
            if opened and len(stack) == opened[2]:
                last = clean.count("\n", 0, i) + 1
                yield opened[0], opened[1], last - opened[1] + 1
                opened = None
        if c in "{};" and not opened and "initialiser" not in stack:
            start = i + 1


def check(path, text):
    """Returns (errors, warnings) of one file."""
    errors, warnings = [], []
    lines = len(text.splitlines())
    is_test = path.parts[0] == "tests"
    if path.suffix in (".h", ".cuh"):
        if lines > HEADER:
            errors.append(f"{path}: {lines} lines, a header has at most {HEADER}")
    elif lines > BODY_HARD:
        errors.append(f"{path}: {lines} lines, at most {BODY_HARD}")
    elif lines > BODY and not is_test:
        warnings.append(f"{path}: {lines} lines, better at most {BODY}")
    for number, line in enumerate(text.splitlines(), 1):
        if TO_DO.search(line):
            errors.append(f"{path}:{number}: finish it or open an issue: {line.strip()}")
    if not is_test:
        for name, line, length in functions(text):
            limit = FORWARD if name == "forward" else FUNCTION
            if length > limit:
                errors.append(f"{path}:{line}: {name} has {length} lines, at most {limit}")
    return errors, warnings


def main():
    errors, warnings, count = [], [], 0
    for folder in ("include", "src", "tools", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                count += 1
                text = path.read_text(encoding="utf-8")
                for found, all_found in zip(check(path.relative_to(ROOT), text), (errors, warnings)):
                    all_found += found
    for warning in warnings:
        print(f"warning: {warning}")
    for error in errors:
        print(error)
    print(f"sizes: {count} files, {len(errors)} problems, {len(warnings)} warnings", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
