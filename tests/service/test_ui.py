"""The page at /ui and the page of the API, in Debian's Chromium, against the real program."""

import json
import struct
import time

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import needs
from conftest import SAMPLE, SLOWNESS, Server


def tiff(width, height):
    """An uncompressed TIFF of one colour, which Chromium cannot show."""
    pixels = bytes((90, 120, 60)) * (width * height)
    entries = [  # tag, type (3: 16 bits, 4: 32 bits), count, value
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8),  # at this offset
        (262, 3, 1, 2),
        (273, 4, 1, 14),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *each) for each in entries)
    head = struct.pack("<2sHI3H", b"II", 42, 14 + len(pixels), 8, 8, 8)
    return head + pixels + directory + bytes(4)


DESKTOP, PHONE = (1280, 860), (390, 844)


class Page:
    def __init__(self, driver, server):
        self.driver, self.server = driver, server

    def open(self, path="/ui", size=DESKTOP, dark=False):
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size is PHONE},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]},
        )
        self.driver.get(self.server.url + path)
        return self

    def get(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, condition, what, seconds=20):
        end = time.monotonic() + seconds * SLOWNESS
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.05)
        raise AssertionError(
            f"{what}; status '{self.get('#status').text}', error '{self.get('#error').text}'"
        )

    def find_sample(self):
        self.get("#sample").click()
        return self.found()

    def found(self):
        self.until(lambda: " s (" in self.get("#status").text or self.get("#error").text, "nothing was found")
        return [button.text.split("\n")[0] for button in self.all("#found .pick")]

    def slide(self, value):
        self.run(
            "const slider = document.querySelector('#threshold'); slider.value = arguments[0];"
            "slider.dispatchEvent(new Event('input', {bubbles: true}))",
            value,
        )

    def focused(self):
        return self.driver.switch_to.active_element

    def press(self, *keys):
        """Keys to whatever has the focus, as a person's."""
        ActionChains(self.driver).send_keys(*keys).perform()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    options = Options()
    options.binary_location = needs.program("chromium", "chromium")
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--disable-background-networking",
        "--no-first-run",
    ]:
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(
        service=Service(needs.program("chromedriver", "chromium-driver")), options=options
    )
    running.set_page_load_timeout(30 * SLOWNESS)
    running.downloads = downloads
    yield running
    running.quit()


@pytest.fixture
def page(driver, server):
    driver.get_log("browser")
    driver.get_log("performance")
    yield Page(driver, server)
    problems = [
        entry
        for entry in driver.get_log("browser")
        if entry["level"] == "SEVERE" and "status of 4" not in entry["message"]
    ]
    assert not problems, problems
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            assert url.startswith((server.url, "blob:", "data:", "about:")), f"a request to elsewhere: {url}"


def test_the_sample_is_found_and_drawn(page):
    items = page.open().find_sample()
    assert items and "Find items" in page.get("#go").text
    assert len(page.all("#overlay .box")) == len(items) == int(page.get("#count").text)
    assert len(page.all("#found canvas.thumb")) == len(items)
    box, photo = page.get("#overlay").rect, page.get("#photo").rect
    assert abs(box["width"] - photo["width"]) < 2 and abs(box["height"] - photo["height"]) < 2
    shot = page.driver.get_screenshot_as_png()
    assert len(shot) > 100_000, "the screenshot shows no photo"


def test_the_boxes_lie_where_the_answer_says(page):
    page.open().find_sample()
    image = json.loads(page.get("#json").get_attribute("textContent"))["images"][0]
    drawn = page.run(
        "return [...document.querySelectorAll('#overlay .box')].map(b => ['x','y','width','height'].map(n => +b.getAttribute(n)))"
    )
    wanted = sorted(
        [round(x0), round(y0), round(x1 - x0), round(y1 - y0)]
        for x0, y0, x1, y1 in (found["box"] for found in image["detections"])
    )
    assert sorted([round(value) for value in box] for box in drawn) == wanted


def test_the_slider_works_on_the_scores_at_once(page):
    page.open().find_sample()
    page.slide(0.05)
    many = len(page.all("#found li"))
    asked = page.run("return performance.getEntriesByType('resource').length")
    scores = page.run(
        "return [...document.querySelectorAll('#found .meter')].map(m => parseFloat(m.textContent))"
    )
    cut = sorted(scores)[len(scores) // 2]
    started = time.monotonic()
    page.slide(cut)
    few = len(page.all("#found li"))
    assert time.monotonic() - started < 1 * SLOWNESS
    assert few < many and few == len(page.all("#overlay .box"))
    assert page.run("return performance.getEntriesByType('resource').length") == asked, "it asked the server"
    assert f"{cut:.2f}" == page.get("#threshold-value").text
    page.slide(1)
    assert not page.all("#found li") and "Not found" in page.get("#missing").text
    assert not page.get("#download").is_enabled()


def test_items_are_typed_and_removed(page):
    page.open()
    words = page.get("#words")
    words.send_keys("dress, sun hat", Keys.ENTER)
    assert [token.text.split("\n")[0].rstrip("×").strip() for token in page.all(".token")] == [
        "dress",
        "sun hat",
    ]
    words.send_keys(Keys.BACKSPACE)
    assert len(page.all(".token")) == 1
    for chip in page.all(".chip[aria-pressed=true]"):
        chip.click()
    items = page.find_sample()
    assert items and all(item.startswith("dress") for item in items)


def test_typed_words_are_looked_for_alone(page):
    """What was pressed before anybody came gives way; what somebody pressed stays."""
    page.open()
    assert page.all(".chip[aria-pressed=true]")
    page.get("#words").send_keys("dress, hat", Keys.ENTER)
    assert not page.all(".chip[aria-pressed=true]")
    items = page.find_sample()
    assert set(items) == {"dress", "hat"}
    assert "categories" not in page.get("#curl").get_attribute("textContent")
    page.open()
    page.get(".chip[data-category=shoes]").click()
    page.get("#words").send_keys("dress", Keys.ENTER)
    pressed = [chip.get_attribute("data-category") for chip in page.all(".chip[aria-pressed=true]")]
    assert pressed == ["tops", "bottoms"]


def test_the_page_offers_what_the_model_knows_and_says_the_rest(page):
    page.open()
    page.until(lambda: not page.all(".chip[data-category=bag]"), "Bag is offered")
    assert page.all(".chip[data-category=tops]")
    page.get("#words").send_keys("coffee mug", Keys.ENTER)
    page.find_sample()
    assert "coffee mug" in page.get("#hints").text and page.get("#hints").is_displayed()
    page.get(".token button").click()
    page.get("#words").send_keys("dress", Keys.ENTER)
    page.get("#go").click()
    page.until(lambda: not page.get("#hints").is_displayed(), "the hint stays")


def test_several_photos_at_once(page, tmp_path):
    paths = []
    for name, data in [("one.jpg", SAMPLE), ("broken.jpg", b"no photo"), ("two.jpg", SAMPLE + b"\0")]:
        (tmp_path / name).write_bytes(data)
        paths.append(str(tmp_path / name))
    page.open().get("#file").send_keys("\n".join(paths))
    page.until(lambda: "in 3 photos" in page.get("#status").text, "the photos are not done")
    assert "1 failed" in page.get("#status").text
    states = [button.get_attribute("data-status") for button in page.all("#photos button")]
    assert states == ["done", "failed", "done"], "one that fails does not stop the others"
    names = [button.text.split("\n") for button in page.all("#photos button")]
    assert [name[0] for name in names] == ["one.jpg", "broken.jpg", "two.jpg"] and names[1][1] == "failed"
    assert page.all("#found li") and "one.jpg" in page.get("#photo-name").text
    page.all("#photos button")[1].click()
    page.until(lambda: page.get("#error").text, "the failure is not shown")
    assert "broken.jpg" in page.get("#error").text and not page.get("#results").is_displayed()
    page.all("#photos button")[2].click()
    page.until(lambda: page.get("#results").is_displayed(), "the third photo is not shown")
    assert "two.jpg" in page.get("#photo-name").text and not page.get("#error").is_displayed()
    assert page.get("#photos button[aria-current]").text.startswith("two.jpg")
    # A single photo has no row.
    page.get("#file").send_keys(paths[0])
    page.found()
    assert not page.get("#photos").is_displayed()


def test_a_photo_that_the_browser_cannot_show_is_shown_by_the_server(page, tmp_path):
    photo = tmp_path / "scan.tif"
    photo.write_bytes(tiff(320, 200))
    page.open().get("#file").send_keys(str(photo))
    page.found()
    assert not page.get("#no-preview").is_displayed() and page.get("#image").is_displayed()
    assert page.run("return document.querySelector('#photo').naturalWidth") > 0
    assert page.get("#photo").get_attribute("src").startswith("data:image/jpeg")
    assert '"preview"' not in page.get("#json").get_attribute("textContent")


def test_a_file_that_is_no_photo_is_not_promised_to_work(page, tmp_path):
    text = tmp_path / "words.txt"
    text.write_text("hello")
    page.open().get("#file").send_keys(str(text))
    assert "words.txt is not a photo" in page.get("#error").text
    assert not page.get("#no-preview").is_displayed() and page.get("#invite").is_displayed()


def test_results_come_into_view_on_a_phone(page):
    page.open(size=PHONE).find_sample()
    page.until(
        lambda: (
            page.run("return document.querySelector('#found-title').getBoundingClientRect().top") < PHONE[1]
        ),
        "the results are below the fold",
    )
    assert page.run("return document.activeElement.id") == "found-title"


def test_only_the_best_of_each(page):
    items = page.open().find_sample()
    page.slide(0.05)
    page.get("#best").click()
    best = [button.text.split("\n")[0] for button in page.all("#found .pick")]
    assert len(best) == len(set(best)) and set(items) <= set(best)


def test_by_keyboard_alone(page):
    page.open()
    page.press(Keys.TAB)
    assert page.focused().text == "Skip to the controls"
    for _ in range(30):
        page.press(Keys.TAB)
        if page.focused().get_attribute("id") == "sample":
            break
    assert page.run("return document.activeElement.matches(':focus-visible')")
    style = page.run(
        "const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth"
    )
    assert style.startswith("solid") and not style.endswith("0px")
    page.press(Keys.ENTER)
    page.found()
    threshold = page.get("#threshold")
    threshold.send_keys(Keys.ARROW_RIGHT)
    assert page.get("#threshold-value").text == "0.26"
    reached = set()
    for _ in range(60):
        page.press(Keys.TAB)
        reached.add(page.focused().get_attribute("class") or page.focused().get_attribute("id"))
    assert {"pick", "save", "button primary"} <= reached


def test_labels_for_readers(page):
    page.open().find_sample()
    unnamed = page.run("""
      const named = (node) => node.textContent.trim() || node.getAttribute('aria-label') || node.labels?.length ||
        node.getAttribute('aria-labelledby');
      return [...document.querySelectorAll('button, input, select, a, summary')].filter((n) => !named(n)).map((n) => n.outerHTML)""")
    assert not unnamed, unnamed
    assert page.get("#status").get_attribute("aria-live") == "polite"
    assert page.get("#error").get_attribute("role") == "alert"
    assert page.get("html").get_attribute("lang") == "en"


def test_a_chosen_file_and_a_file_that_is_no_photo(page, tmp_path):
    photo = tmp_path / "my look.jpg"
    photo.write_bytes(SAMPLE)
    page.open().get("#file").send_keys(str(photo))
    assert page.found()
    assert "my look.jpg" in page.get("#photo-name").text
    assert '"my look.jpg"' in page.get("#curl").get_attribute("textContent")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    page.get("#file").send_keys(str(broken))
    page.until(lambda: page.get("#error").text, "the error is not shown")
    assert "request" in page.get("#error").text.lower() and not page.get("#results").is_displayed()


def test_paste_and_drop(page):
    transfer = """
      const [bytes, type] = [new Uint8Array(arguments[0]), arguments[1]];
      const data = new DataTransfer();
      data.items.add(new File([bytes], 'pasted.jpg', {type: 'image/jpeg'}));
      const event = type === 'paste' ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
                                     : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
      document.body.dispatchEvent(event);"""
    for kind in ("paste", "drop"):
        page.open()
        page.run(transfer, list(SAMPLE), kind)
        assert page.found(), kind
        assert "pasted.jpg" in page.get("#photo-name").text


def test_download_all_and_one(page):
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(page.driver.downloads)}
    )
    page.open().find_sample()
    before = set(page.driver.downloads.iterdir())
    page.get("#download").click()
    page.get(".save").click()

    def arrived():
        new = set(page.driver.downloads.iterdir()) - before
        return new if {".zip", ".jpg"} <= {path.suffix for path in new} else None

    new = page.until(arrived, "nothing was downloaded")
    for path in new:
        if path.suffix == ".zip":
            assert path.read_bytes().startswith(b"PK")
        elif path.suffix == ".jpg":
            assert path.read_bytes().startswith(b"\xff\xd8\xff") and path.name.startswith("item1_")


def test_the_curl_line_is_the_request(page, tmp_path):
    import subprocess

    needs.program("curl", "curl")
    page.open().find_sample()
    shown = json.loads(page.get("#json").get_attribute("textContent"))["images"][0]["detections"]
    (tmp_path / "wardrobe.jpg").write_bytes(SAMPLE)
    line = page.get("#curl").get_attribute("textContent")
    ran = subprocess.run(
        ["sh", "-c", line.replace("curl", "curl -sS", 1)], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert json.loads(ran.stdout)["images"][0]["detections"] == shown, ran


def test_errors_are_shown(page):
    page.open()
    page.get("#go").click()
    assert "photo" in page.get("#error").text
    for chip in page.all(".chip[aria-pressed=true]"):
        chip.click()
    page.get("#sample").click()
    page.until(lambda: "Choose what to find" in page.get("#status").text, "no hint")
    page.get("#go").click()
    assert "category" in page.get("#error").text


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone(page, dark):
    page.open(size=PHONE, dark=dark).find_sample()
    wide = page.run("return document.documentElement.scrollWidth")
    assert wide <= PHONE[0], f"it scrolls sideways: {wide}"
    small = page.run("""
      return [...document.querySelectorAll('button, .button, select, input[type=range]')].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width && (box.height < 24 || box.width < 24);
      }).map((node) => node.outerHTML)""")
    assert not small, f"too small to touch: {small}"
    background = page.run("return getComputedStyle(document.body).backgroundColor")
    level = sum(int(part) for part in background.strip("rgb()").split(",")) / 3
    assert (level < 80) == dark


def test_a_key_is_asked_for_and_not_kept(driver, tmp_path):
    guarded = Server(tmp_path, api_keys="a-long-enough-key")
    try:
        page = Page(driver, guarded).open()
        page.get("#sample").click()
        page.until(lambda: "key" in page.get("#error").text.lower(), "no word about the key")
        assert page.get("#key-box").get_attribute("open")
        page.get("#key").send_keys("a-long-enough-key")
        page.get("#go").click()
        assert page.found()
        curl = page.get("#curl").get_attribute("textContent")
        assert "a-long-enough-key" not in curl and "$ITEMCROP_KEY" in curl
        assert page.run("return localStorage.length + sessionStorage.length + document.cookie.length") == 0
        driver.refresh()
        assert page.get("#key").get_attribute("value") == ""
    finally:
        driver.get("about:blank")
        driver.get_log("browser")
        driver.get_log("performance")
        guarded.kill()


# ---- the page of the API ------------------------------------------------------------------


def test_docs_show_every_route(page, server):
    page.open("/docs")
    end = time.monotonic() + 10 * SLOWNESS
    while not page.all(".op") and time.monotonic() < end:
        time.sleep(0.05)
    described = sum(
        method in ("get", "post", "put", "delete", "head")
        for item in server.get("/openapi.json").json["paths"].values()
        for method in item
    )
    assert len(page.all(".op")) == described
    page.run("document.querySelectorAll('.op').forEach((op) => { op.open = true; })")
    time.sleep(0.5)
    assert len(page.all(".op-body")) == described
    assert "[object" not in page.get("body").text


def test_docs_try_it(page):
    page.open("/docs#models")
    end = time.monotonic() + 10 * SLOWNESS
    while not page.all("#models .try") and time.monotonic() < end:
        time.sleep(0.05)
    page.get("#models .try > summary").click()
    page.get("#models .try button[type=submit]").click()
    while not page.all("#models .try pre") and time.monotonic() < end:
        time.sleep(0.05)
    assert "200" in page.get("#models .try [role=status]").text
    assert "wardrobe" in page.get("#models .try pre").text


def test_docs_on_a_phone(page):
    page.open("/docs#detect", size=PHONE)
    time.sleep(0.7 * SLOWNESS)
    page.run("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    time.sleep(0.3)
    assert page.run("return document.documentElement.scrollWidth") <= PHONE[0]
