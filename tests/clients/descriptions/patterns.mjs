// Leaves with 1 when a pattern of the document is none in ECMAScript: node patterns.mjs FILE
import { readFileSync } from "node:fs"

const refused = []
let seen = 0
const walk = (value) => {
  if (Array.isArray(value)) value.forEach(walk)
  else if (value && typeof value === "object")
    for (const [key, one] of Object.entries(value)) {
      if (key !== "pattern" || typeof one !== "string") { walk(one); continue }
      seen += 1
      try { new RegExp(one, "u") } catch (error) { refused.push(error.message) }
    }
}
walk(JSON.parse(readFileSync(process.argv[2])))
console.log(`${seen} patterns, ${refused.length} refused`, refused.slice(0, 3))
process.exit(seen === 0 || refused.length > 0 ? 1 : 0)
