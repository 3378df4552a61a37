"""What `make repro` says in the end: a line for each active variant, of a page that is there."""

from pathlib import Path

from sidetrip import summary
from sidetrip.config import active_variants, load_params
from sidetrip.files import read_json


def test_each_active_variant_is_a_line_with_its_page_and_its_verdicts(capsys):
    summary.main()
    *lines, last = capsys.readouterr().out.splitlines()
    for name, line in zip(active_variants(load_params(Path("params.yaml"))), lines, strict=True):
        page, _, verdicts = line.partition(": ")
        assert Path(page).is_file()
        assert name in page
        claims = read_json(Path(page).with_name("claims.json"))
        of_the_paper = [row for row in claims if row["source"] != "this project" and not row["analytic"]]
        reproduced = sum(row["verdict"] == "reproduced" for row in of_the_paper)
        assert f" {reproduced} reproduced" in verdicts
    assert last.startswith("reports/README.md")
