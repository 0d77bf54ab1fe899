// Opens the live page in headless Chromium and does what it reads, one JSON command a line:
//   node live.js
//   {"see": SELECTOR, "text": PART}     waits until an element there holds the text
//   {"gone": SELECTOR}                  waits until no such element is visible
//   {"forget": true}                    forgets all cookies
//   {"mode": "dark|narrow|light"} {"go": URL} {"click": SELECTOR} {"shot": FILE} {"survey": true}
// Each answer is one JSON line.
const path = require("path");
const readline = require("readline");
const npm = path.join(__dirname, "../../../vendor/npm/node_modules");
const { chromium } = require(path.join(npm, "playwright-core"));

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const PATIENCE = { timeout: 60000 };

// In the page: what a reader, a screen reader and a nosy one find.
function survey() {
  const all = (query) => [...document.querySelectorAll(query)];
  let cookie;
  try {
    cookie = document.cookie;
  } catch {
    cookie = null; // a sandboxed page has none
  }
  return {
    title: document.title,
    address: location.href,
    cookie,
    text: document.body.innerText,
    nodes: all(".node").map((n) => [n.dataset.step, n.getAttribute("class")]),
    unnamed: all("img:not([alt]),svg:not([aria-label]):not([aria-hidden])").length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    bold: all("b").length,
    background: getComputedStyle(document.body).backgroundColor,
  };
}

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: FLAGS,
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const requests = [];
    const complaints = [];
    page.on("request", (r) => requests.push(r.url()));
    page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
    page.on("pageerror", (e) => complaints.push(String(e)));
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const ask = JSON.parse(line);
      let answer = {};
      try {
        if (ask.forget) await page.context().clearCookies();
        if (ask.mode) {
          await page.setViewportSize({ width: ask.mode === "narrow" ? 390 : 1280, height: 900 });
          await page.emulateMedia({ colorScheme: ask.mode === "dark" ? "dark" : "light" });
        }
        if (ask.go) await page.goto(ask.go);
        if (ask.see) await page.locator(ask.see, { hasText: ask.text }).first().waitFor(PATIENCE);
        if (ask.gone) await page.locator(ask.gone).first().waitFor({ state: "hidden", ...PATIENCE });
        if (ask.click) await page.locator(ask.click).first().click(PATIENCE);
        if (ask.shot) await page.screenshot({ path: ask.shot, fullPage: true });
        if (ask.survey) answer = { ...(await page.evaluate(survey)), requests, complaints };
      } catch (error) {
        answer = { problem: String(error), text: await page.evaluate(() => document.body.innerText) };
      }
      console.log(JSON.stringify(answer));
    }
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
