// Opens a report in headless Chromium as a reader would, plays its videos, and prints what it saw
// as one JSON object: node report.js REPORT.html SCREENSHOT.png [dark|print|narrow]
const path = require("path");
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

// In the page: plays every video and tells how far each came within two seconds.
async function play() {
  const seen = [];
  for (const video of document.querySelectorAll("video")) {
    const before = video.currentTime;
    let problem = null;
    await video.play().catch((error) => (problem = String(error)));
    const until = Date.now() + 8000;
    while (video.currentTime < before + 0.3 && Date.now() < until) {
      await new Promise((done) => setTimeout(done, 50));
    }
    seen.push({
      label: video.getAttribute("aria-label"),
      advanced: video.currentTime > before,
      width: video.videoWidth,
      height: video.videoHeight,
      problem,
    });
  }
  return seen;
}

// In the page: what a reader of text, a keyboard and a screen reader find.
function survey() {
  const all = (query) => [...document.querySelectorAll(query)];
  return {
    title: document.title,
    text: document.body.innerText,
    scripts: all("script").length,
    images: all("img").map((i) => ({ width: i.naturalWidth, alt: i.alt })),
    outside: all("[src],link[href]")
      .map((e) => e.getAttribute("src") || e.getAttribute("href"))
      .filter((u) => !u.startsWith("data:")),
    unnamed: all("video:not([aria-label]),img:not([alt]),svg:not([aria-label]):not([aria-hidden])").length,
    deadLinks: all('a[href^="#"]').filter((a) => !document.getElementById(a.hash.slice(1))).length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    styled: getComputedStyle(document.querySelector("h1")).fontSize,
  };
}

// The names of what Tab reaches, in order.
async function tabStops(page, count) {
  const stops = [];
  for (let i = 0; i < count; i++) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(() => document.activeElement.tagName.toLowerCase()));
  }
  return stops;
}

async function main() {
  const [file, shot, mode] = process.argv.slice(2);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: FLAGS,
  });
  try {
    const page = await browser.newPage({
      viewport: { width: mode === "narrow" ? 390 : 1280, height: 900 },
      colorScheme: mode === "dark" ? "dark" : "light",
    });
    const requests = [];
    const complaints = [];
    page.on("request", (r) => r.url().startsWith("data:") || requests.push(r.url()));
    page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
    page.on("pageerror", (e) => complaints.push(String(e)));
    await page.goto("file://" + path.resolve(file));
    const stops = await tabStops(page, 4);
    const videos = await page.evaluate(play);
    const seen = await page.evaluate(survey);
    if (mode === "print") await page.emulateMedia({ media: "print" });
    await page.screenshot({ path: shot, fullPage: true });
    console.log(JSON.stringify({ ...seen, videos, stops, requests, complaints }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
