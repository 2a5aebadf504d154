"""The contact sheet, index.html, opened from disk in Debian's Chromium."""

import base64
import hashlib
import json
import os
import re
import time

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import needs
from conftest import ROOT, scene

SLOWNESS = float(os.environ.get("ITEMCROP_TEST_SLOWNESS", "1"))
SAMPLE = ROOT / "examples" / "wardrobe.jpg"


@pytest.fixture(scope="module")
def driver():
    options = Options()
    options.binary_location = needs.program("chromium", "chromium")
    for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]:
        options.add_argument(argument)
    options.add_argument("--window-size=1280,860")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(
        service=Service(needs.program("chromedriver", "chromium-driver")), options=options
    )
    running.set_page_load_timeout(60 * SLOWNESS)
    yield running
    running.quit()


@pytest.fixture
def sheet(itemcrop, tmp_path):
    """A run over four photos: one fails, one shows nothing, two are the sample."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("first look.jpg", "second.jpg"):
        (photos / name).write_bytes(SAMPLE.read_bytes())
    (photos / "broken<img src=x>.jpg").write_bytes(SAMPLE.read_bytes()[:2000])
    (photos / "empty.png").write_bytes(scene(97, 101))
    run = itemcrop("crop", "photos", "--items", "t-shirt, hat, shoes", "--threshold", "0.5", "--out", "out")
    assert run.returncode == 1, run.stderr
    assert b" of 4 photos (1 failed, 1 without an item): out/index.html" in run.stdout
    return tmp_path / "out" / "index.html"


def visible(driver, selector):
    return [each for each in driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]


def press(driver, *keys):
    ActionChains(driver).send_keys(*keys).perform()


def test_the_script_is_the_one_that_the_policy_names(sheet):
    text = sheet.read_text()
    [script] = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_it_leads_with_failures_and_shows_small_files(driver, sheet):
    driver.get(sheet.as_uri())
    headings = [heading.text for heading in driver.find_elements(By.TAG_NAME, "h2")]
    assert headings == ["1 photo failed", "1 photo without an item", "2 photos with items"]
    [problem] = driver.find_elements(By.CSS_SELECTOR, ".problems li")
    assert "broken<img src=x>.jpg" in problem.text
    for image in driver.find_elements(By.TAG_NAME, "img"):
        driver.execute_script("arguments[0].scrollIntoView()", image)
        end = time.monotonic() + 10 * SLOWNESS
        while not driver.execute_script("return arguments[0].complete", image) and time.monotonic() < end:
            time.sleep(0.02)
        assert 0 < driver.execute_script("return arguments[0].naturalWidth", image) <= 480
    assert driver.get_log("browser") == []


def test_it_filters_by_item_and_words(driver, sheet):
    driver.get(sheet.as_uri())
    crops = len(visible(driver, ".crops li"))
    [hat] = [button for button in visible(driver, "nav button") if button.text.startswith("hat ")]
    assert hat.text == "hat 2"
    hat.click()
    assert hat.get_attribute("aria-pressed") == "true"
    assert {each.text.split()[0] for each in visible(driver, ".crops li span")} == {"hat"}
    assert len(visible(driver, ".photo")) == 2 and not visible(driver, ".problems")
    assert driver.find_element(By.ID, "shown").text == "2 of 3 photos"
    hat.click()
    assert len(visible(driver, ".crops li")) == crops and visible(driver, ".problems")

    press(driver, "/")
    press(driver, "second")
    assert [each.text for each in visible(driver, ".photo h3")] == ["photos/second.jpg"]
    press(driver, Keys.ESCAPE)
    assert len(visible(driver, ".photo")) == 3


def test_it_is_worked_by_keys(driver, sheet):
    driver.get(sheet.as_uri())

    def focused():
        return driver.execute_script("return document.activeElement.querySelector('h3')?.textContent")

    for key, name in (("j", "empty.png"), ("j", "first look.jpg"), ("j", "second.jpg"), ("j", "second.jpg")):
        press(driver, key)
        assert focused() == "photos/" + name
    press(driver, "k")
    assert focused() == "photos/first look.jpg"


def of_photos(page, count):
    """The page of a run over `count` photos, made of the sections of a small one."""
    [section] = re.findall(
        r'<section class="photo"[^>]*><h3><bdi>photos/second.jpg.*?</section>\n', page, re.S
    )
    sections = "".join(section.replace("second.jpg", f"IMG_{i:05}.jpg") for i in range(count))
    return page.replace(section, sections)


def test_it_is_quick_with_two_thousand_photos(driver, sheet):
    page = of_photos(sheet.read_text(), 2000)
    assert len(page) < 6_000_000
    many = sheet.with_name("many.html")
    many.write_text(page)
    driver.get(many.as_uri())
    paint = driver.execute_script(
        "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    loaded = driver.execute_script(
        "return performance.timing.loadEventEnd - performance.timing.navigationStart"
    )
    filtering = driver.execute_script(
        """
        const start = performance.now();
        document.querySelector('nav button').click();
        document.body.getBoundingClientRect();
        return performance.now() - start;
        """
    )
    figures = {"bytes": len(page), "first_paint_ms": paint, "loaded_ms": loaded, "filter_ms": filtering}
    print(json.dumps(figures))
    assert len(driver.find_elements(By.CSS_SELECTOR, ".photo")) == 2002
    assert paint < 2000 * SLOWNESS and filtering < 1000 * SLOWNESS, figures
