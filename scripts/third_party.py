"""Print the third-party requirements of every package of this tree, for `make lock`.

Does not resolve anything: `uv pip compile` does.
"""

import glob
import tomllib
from pathlib import Path


def main() -> None:
    projects = [
        tomllib.loads(Path(path).read_text())["project"]
        for path in sorted(glob.glob("libs/*/pyproject.toml") + glob.glob("services/*/pyproject.toml"))
    ]
    ours = {project["name"] for project in projects}
    wanted = {dep for project in projects for dep in project["dependencies"] if dep not in ours}
    print("\n".join(sorted(wanted)))


if __name__ == "__main__":
    main()
