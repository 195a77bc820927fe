import base64
import csv
import json
import os
import re
from html.parser import HTMLParser

import nibabel as nib
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from mrsikit.runtime.report import Panel, run_evaluator, write_report
from mrsikit.runtime.report import page as page_module
from mrsikit.runtime.report.grouped_warnings import MADE_BEFORE

TEXTS = {
    "title": "Toy <bundle>",
    "description": "Zeros & NaN are filled.",
    "panels": [Panel(title="Input"), Panel(title="Filled", image="inpainted", outline="holes")],
    "choose_by": "holes",
    "caption": "Grey is missing.",
}


class Page(HTMLParser):
    """Collect tags with their attributes, and fail on unbalanced ones."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_slider_hover_and_click_in_a_browser(make_run, tmp_path, browser):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    browser.get((tmp_path / "out" / "report.html").as_uri())
    box = browser.find_elements("css selector", "details.viewer")[-1]
    box.find_element("tag name", "summary").click()
    slider, said = box.find_element("tag name", "input"), box.find_element("tag name", "output")
    if slider.is_enabled():
        before = said.text
        slider.send_keys(Keys.ARROW_RIGHT)
        assert said.text != before
    area = box.find_elements("css selector", ".nsewdrag")[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    ActionChains(browser).move_to_element(area).pause(0.5).perform()
    assert "map units" in box.find_element("css selector", ".hoverlayer").text
    ActionChains(browser).click().perform()
    assert "neighbours" in box.find_element("css selector", ".detail").text
    assert browser.get_log("browser") == []


def read(folder):
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)), (folder / "report.html").read_text(encoding="utf-8")


def without_time(text):
    return re.sub(r"time&#34;: &#34;[^&]*", "", text)


def test_report_of_done_skipped_and_failed(make_run, tmp_path):
    (tmp_path / "maps" / "bad.nii.gz").write_bytes(b"")
    inputs, evaluator = make_run(skip_invalid=True, break_at="/c")
    with pytest.raises(RuntimeError, match="applying transform"):
        run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    rows, page = read(tmp_path / "out")
    assert [(row["file"], row["status"]) for row in rows] == [
        ("a.nii.gz", "done"),
        ("b.nii.gz", "done"),
        ("bad.nii.gz", "skipped"),
        ("c <&>.nii.gz", "failed"),
    ]
    assert "cannot be read" in rows[2]["reason"]
    assert rows[1]["flags"] == "matrix below the trained 16"
    assert rows[1]["holes"] == "17"
    assert rows[1]["nothing"] == ""
    assert "2 of 4 inputs done, 1 skipped, 1 failed, 1 with warnings." in page
    first_screen = page[page.index('id="attention"') : page.index("All 4 inputs")]
    for text in ("skipped", "cannot be read", "bad.nii.gz", "failed", "run again", "matrix below the trained 16"):
        assert text in first_screen
    assert "1 of 2 inputs" in first_screen
    assert "--max_crlb 20" in page[page.index("Command to make this again") :][:1000]
    assert (tmp_path / "out" / "mrsinmrs.csv").read_text().startswith("item,a.nii.gz,b.nii.gz\n")


def test_page_is_whole_self_contained_and_escaped(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    _, page = read(tmp_path / "out")
    tags = Page(page).tags
    assert not [tag for tag, _ in tags if tag in ("link", "iframe")]
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert scripts == [{"type": "application/json"}] * 3 + [{}] * 2  # plotly once, and ours
    assert not [a for tag, a in tags if tag != "a" and ("href" in a or a.get("src", "data:")[:5] != "data:")]
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == 3
    for image in images:
        assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
        assert image["alt"]
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags
    anchors = {attributes["id"] for tag, attributes in tags if tag == "section"} - {"attention", "first"}
    assert {attributes["href"].removeprefix("#") for tag, attributes in tags if tag == "a"} == anchors
    for text in ("Toy &lt;bundle&gt;", "Zeros &amp; NaN", "research use only", "anterior is up", "Grey is missing."):
        assert text in page
    for text in ("c &lt;&amp;&gt;.nii.gz", "matrix below the trained 16", "sha256"):
        assert text in page


def test_a_resumed_run_reports_the_same(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    whole = read(tmp_path / "out")
    (tmp_path / "out" / "b.json").unlink()
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    resumed = read(tmp_path / "out")
    assert resumed[0] == whole[0]
    assert without_time(resumed[1]) == without_time(whole[1])


def test_the_worst_input_comes_first_with_what_singles_it_out(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    rows = write_report(inputs, **TEXTS, worst_by="holes")
    page = read(tmp_path / "out")[1]
    order = [row["file"] for row in sorted(rows, key=lambda row: -row["holes"])]
    assert len(set(row["holes"] for row in rows)) == 3
    assert re.findall(r'<section id="case-(\w)', page) == [file[0] for file in order]
    first = page[page.index('id="first"') : page.index('id="attention"')]
    assert re.findall(r'href="#case-(\w)', first) == [file[0] for file in order]
    assert first.count("matrix below the trained 16") == 1
    assert first.count("<td>–</td>") == 2
    # An outdated result comes before all, and a figure that cannot be given before those that can.
    kinds = (([MADE_BEFORE], 0.1), (["a; b"], "not given"), ([], float("nan")), (["a", "b"], 9), (["a; b; c"], 9))
    urgent = [page_module._urgency({"x": x}, flags, "x") for flags, x in kinds]
    assert urgent == sorted(urgent, reverse=True)


def test_one_input_needs_no_order(make_run, tmp_path):
    for name in ("b", "c <&>"):
        (tmp_path / "maps" / f"{name}.nii.gz").unlink()
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS, worst_by="holes")
    assert "Where to look first" not in read(tmp_path / "out")[1]


def test_only_so_many_figures(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS, max_figures=1)
    page = read(tmp_path / "out")[1]
    assert page.count("<img") == 1
    assert "figures of the first 1" in page


def test_no_figures_at_first_and_figures_later_compute_nothing_again(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS, max_figures=0)
    page = read(tmp_path / "out")[1]
    assert page.count("<img") == 0
    assert "without figures" in page
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.nii.gz")}
    inputs, evaluator = make_run()
    assert inputs.datalist() == []
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    page = read(tmp_path / "out")[1]
    assert page.count("<img") == 3
    assert "without figures" not in page
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.nii.gz")} == before


def test_no_page_leaves_summary_and_checks_and_no_page_of_an_earlier_run(make_run, tmp_path, caplog):
    caplog.set_level("INFO")
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    _, whole = read(tmp_path / "out")
    assert whole
    (tmp_path / "out" / "summary.csv").unlink()
    rows = write_report(inputs, **TEXTS, report="false", checks=lambda inputs: ["2 of 3 sets differ"])
    assert [row["status"] for row in rows] == ["done"] * 3
    assert (tmp_path / "out" / "summary.csv").exists()
    assert not (tmp_path / "out" / "report.html").exists()
    assert "2 of 3 sets differ" in caplog.text


def test_an_input_that_vanished_since_costs_only_its_figure(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    (tmp_path / "out" / "b_inpainted.nii.gz").write_bytes(b"")
    write_report(inputs, **TEXTS)
    page = read(tmp_path / "out")[1]
    assert page.count("<img") == 2
    assert "No figure" in page


def test_sides_are_named_only_where_the_file_knows_them(make_run, tmp_path):
    for name in "ab":
        image = nib.load(tmp_path / "maps" / f"{name}.nii.gz")
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        nib.save(image, tmp_path / "maps" / f"{name}.nii.gz")
    (tmp_path / "maps" / "b_missing.nii.gz").unlink()
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    page = read(tmp_path / "out")[1]
    assert page.count("left and right are unknown") == 2
    assert page.count("anterior is up") == 1


def test_what_was_done_before_with_other_settings_is_marked(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    record = tmp_path / "out" / "b.json"
    record.write_text(record.read_text().replace('"max_crlb": 20', '"max_crlb": 30'))
    inputs, _ = make_run()
    write_report(inputs, **TEXTS)
    flags = {row["file"]: row["flags"] for row in read(tmp_path / "out")[0]}
    assert "was made before with other parameters and not again: --overwrite true does" in flags["b.nii.gz"]
    assert "made before" not in flags["a.nii.gz"]


def test_a_check_on_hidden_voxels_is_shown_with_its_input(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    record = tmp_path / "out" / "a.json"
    check = {"title": "of <5> voxels", "candidates": {"kriging": {"share": 1.0}}}
    check |= {"measured": [1.0, 2.0], "result": [1.0, 2.5], "sd": [0.1, 0.1]}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"checks": [check]}))
    write_report(inputs, **TEXTS)
    page = (tmp_path / "out" / "report.html").read_text()
    Page(page)
    assert page.count('<details class="check">') == 1
    assert "of &lt;5&gt; voxels" in page
    assert "bars of 1.645 SD hold 1" in page
    assert "&#34;candidates&#34;" not in page  # it is drawn, and need not stand in the record too


def test_shards_leave_the_page_to_a_last_run(make_run, tmp_path):
    for shard in ("2/2", "1/2"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "report.html").write_text("of before")
        inputs, evaluator = make_run(shard=shard)
        run_evaluator(evaluator)
        seen_by_checks = []
        rows = write_report(inputs, **TEXTS, checks=seen_by_checks.append)
        assert not (tmp_path / "out" / "report.html").exists()
        assert seen_by_checks == []  # that judges a whole set
    assert [row["status"] for row in rows] == ["done"] * 3
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.nii.gz")}
    inputs, evaluator = make_run(shard="1/2")
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS, report=True)
    of_shard = read(tmp_path / "out")
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    whole = read(tmp_path / "out")
    assert whole[0] == of_shard[0]
    assert whole[1].count("<img") == of_shard[1].count("<img") == 3
    assert "3 of 3 inputs done" in whole[1]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.nii.gz")} == before


def test_a_shard_that_broke_runs_again(make_run, tmp_path):
    inputs, evaluator = make_run(shard="1/2", break_at="/c")
    with pytest.raises(RuntimeError, match="applying transform"):
        run_evaluator(evaluator)
    done = (tmp_path / "out" / "a_holes.nii.gz").stat().st_mtime_ns
    inputs, evaluator = make_run(shard="1/2")
    run_evaluator(evaluator)
    write_report(inputs, **TEXTS)
    with open(tmp_path / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        assert [row["file"][0] for row in csv.DictReader(file)] == ["a", "c"]
    assert (tmp_path / "out" / "a_holes.nii.gz").stat().st_mtime_ns == done


def test_regions_are_drawn_where_their_table_is(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    table = tmp_path / "out" / "regions.csv"
    table.write_text("map,case,metabolite,ratio,label,name,mean,SD,share imputed\na,s,NAA,,1,frontal,9,1,0.2\n")
    write_report(inputs, **TEXTS)
    page = read(tmp_path / "out")[1]
    assert page.count("<img") == 4
    assert "than 10% of the region was imputed" in page[page.index('id="regions"') :]
    assert "run mrsikit regions again" not in page
    os.utime(table, (1, 1))
    write_report(inputs, **TEXTS)
    assert "run mrsikit regions again" in read(tmp_path / "out")[1]
    table.unlink()
    write_report(inputs, **TEXTS)
    assert 'id="regions"' not in read(tmp_path / "out")[1]
