"""What the layers' linter does not see: circles between files of one room, and files that outgrow one idea."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
LINES = 450


def modules():
    named = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def arrows(named):
    """{module: modules it imports}, imports inside functions and under TYPE_CHECKING among them."""
    drawn = {}
    for name, path in named.items():
        ends = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                ends |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                ends |= (inner & named.keys()) or {node.module}
        drawn[name] = (ends & named.keys()) - {name}
    return drawn


def circles(drawn):
    """Groups of modules each of which reaches every other one (Tarjan's strongly connected components)."""
    order, low, stack, on, groups, counter = {}, {}, [], set(), [], 0
    for root in drawn:
        if root in order:
            continue
        work = [(root, iter(sorted(drawn[root])))]
        order[root] = low[root] = (counter := counter + 1)
        stack.append(root)
        on.add(root)
        while work:
            name, ends = work[-1]
            for end in ends:
                if end not in order:
                    order[end] = low[end] = (counter := counter + 1)
                    stack.append(end)
                    on.add(end)
                    work.append((end, iter(sorted(drawn[end]))))
                    break
                if end in on:
                    low[name] = min(low[name], order[end])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == order[name]:
                    group = set()
                    while name not in group:
                        group.add(last := stack.pop())
                        on.discard(last)
                    if len(group) > 1:
                        groups.append(sorted(group))
    return groups


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_no_files_import_each_other_in_a_circle():
    assert circles(arrows(modules())) == []


def test_a_file_holds_one_idea():
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()}
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}
