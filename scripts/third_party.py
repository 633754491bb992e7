"""Print the third-party requirements of every package of this tree, for `make lock`.

Does not resolve anything: `uv pip compile` does.
"""

import tomllib
from pathlib import Path


def main() -> None:
    projects = [
        tomllib.loads(path.read_text())["project"]
        for path in sorted(
            [*Path("libs").glob("*/pyproject.toml"), *Path("services").glob("*/pyproject.toml")]
        )
    ]
    ours = {project["name"] for project in projects}
    wanted = {dep for project in projects for dep in project["dependencies"] if dep not in ours}
    print("\n".join(sorted(wanted)))


if __name__ == "__main__":
    main()
