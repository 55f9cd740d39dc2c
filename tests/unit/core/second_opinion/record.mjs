// What ical.js (Mozilla's, of libical's lineage) makes of the rules in rules.json. Written to ical_js.json, which the
// tests read, so that they need no Node. To renew: npm install ical.js@2.2.1 in a folder above, then
// node record.mjs
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ICAL from "ical.js";

const here = new URL(".", import.meta.url);
const SHOWN = 8;

function expand(rule, anchor) {
  const start = ICAL.Time.fromString(anchor);
  const iterator = ICAL.Recur.fromString(rule).iterator(start);
  const found = [];
  for (let time = iterator.next(); time && found.length < SHOWN; time = iterator.next()) {
    found.push(time.toString());
  }
  return found;
}

if (process.argv[2] === "--one") {
  process.stdout.write(JSON.stringify(expand(process.argv[3], process.argv[4])));
} else {
  const { rules, anchors } = JSON.parse(readFileSync(new URL("rules.json", here)));
  const results = {};
  for (const anchor of anchors) {
    for (const rule of rules) {
      // A process for each: some rules never come back.
      const arguments_ = [fileURLToPath(import.meta.url), "--one", rule, anchor];
      const { status, stdout, stderr } = spawnSync(process.execPath, arguments_, { timeout: 3000, encoding: "utf8" });
      const problem = status === null ? "no answer" : (stderr.match(/Error: .*/) ?? ["Error"])[0];
      results[`${rule} from ${anchor}`] = status === 0 ? JSON.parse(stdout) : problem;
    }
  }
  writeFileSync(new URL("ical_js.json", here), `${JSON.stringify(results, null, 1)}\n`);
}
