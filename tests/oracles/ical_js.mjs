// The first times of a rule as ical.js reads it, a line each: node ical_js.mjs RULE START LIMIT
import ICAL from "ical.js";

const [rule, start, limit] = process.argv.slice(2);
const iterator = ICAL.Recur.fromString(rule).iterator(ICAL.Time.fromString(start));
for (let shown = 0, time = iterator.next(); time && shown < Number(limit); shown++, time = iterator.next()) {
  process.stdout.write(`${time}\n`);
}
