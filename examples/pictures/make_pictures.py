"""Make the pictures of the README: a run on the dashboard's page, and its report.

pip install 'daskrun[test]' and Debian's chromium; then
python examples/pictures/make_pictures.py docs/pictures
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from daskrun import (
    Dataset,
    Experiment,
    Observer,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    Workspace,
)

FILES = 1200
SCRIPT = """
import random, time
from pathlib import Path

def init():
    time.sleep(1.5)

def run(mini_batch):
    time.sleep(random.lognormvariate(-3.5, 0.5))
    for path in mini_batch:
        if path.endswith("7.txt") and random.random() < 0.2:
            raise ValueError("image file is truncated (12 bytes not processed)")
    return [f"{Path(path).name},{random.random():.3f}" for path in mini_batch]
"""


class Dashboard(Observer):
    """Notes where the dashboard is."""

    address = ""

    def on_note(self, event):
        """Keep the address of a note that has one."""
        self.address = event.dashboard or self.address


def main(target: Path) -> None:
    """Run a step in a temporary folder, and take pictures of it."""
    target.mkdir(parents=True, exist_ok=True)
    target = target.resolve()
    folder = Path(tempfile.mkdtemp(prefix="daskrun-pictures-"))
    os.chdir(folder)
    Path("images").mkdir()
    for number in range(FILES):
        Path("images", f"{number:04}.txt").write_text("x")
    Path("score.py").write_text(SCRIPT)
    images = Dataset.File.from_files("images").as_named_input("images")
    config = ParallelRunConfig(
        entry_script="score.py", mini_batch_size=2, error_threshold=-1, output_action="append_row",
        process_count_per_node=2, resource_monitor_interval=1,
    )  # fmt: skip
    step = ParallelRunStep("score-images", config, inputs=[images], output=PipelineData("scores"))
    dashboard = Dashboard()
    pipeline = Pipeline(Workspace.create("pictures"), [step])
    run = Experiment(pipeline.workspace, "pictures").submit(pipeline, observers=[dashboard])
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        while not dashboard.address:
            time.sleep(0.1)
        page.goto(dashboard.address)
        time.sleep(8)
        page.screenshot(path=target / "dashboard.png")
        run.wait_for_completion()
        [report] = run.report()
        page.set_viewport_size({"width": 1200, "height": 800})
        page.goto(report.as_uri())
        page.screenshot(path=target / "report.png")
        browser.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
