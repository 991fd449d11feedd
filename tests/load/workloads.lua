-- The workloads for wrk. WORKLOAD a…f, TOKENS a file with one tenant's JWT a line, APIKEY the anon key.
local random, format = math.random, wrk.format
local key, tokens, count = os.getenv("APIKEY"), {}, 0
for line in io.lines(os.getenv("TOKENS")) do tokens[count] = line; count = count + 1 end
local reader, writer, wanting = {}, {}, {}
for k = 0, count - 1 do
  local bearer = "Bearer " .. tokens[k]
  reader[k] = { Authorization = bearer, apikey = key }
  writer[k] = { Authorization = bearer, apikey = key, ["Content-Type"] = "application/json" }
  wanting[k] = { Authorization = bearer, apikey = key, ["Content-Type"] = "application/json",
    Prefer = "return=representation" }
end
local anonymous = { apikey = key }
local function event(k, amount)
  return string.format(
    '{"owner":"00000000-0000-4000-8000-%012d","kind":"click","payload":{"a":1,"b":"two"},"amount":%d}', k, amount)
end
local bodies = {}
if os.getenv("WORKLOAD") == "e" then
  for k = 0, count - 1 do
    local rows = {}
    for i = 1, 1000 do rows[i] = event(k, i) end
    bodies[k] = "[" .. table.concat(rows, ",") .. "]"
  end
end
local function tenant() return random(0, count - 1) end
local root = "/rest/v1/"
local workloads = {
  a = function() return format("GET", root .. "products?id=eq." .. random(1, 5000), anonymous) end,
  b = function() return format("GET", root ..
    "orders?select=id,status,total,created_at,customer_id&status=eq.paid&order=created_at.desc&limit=20",
    reader[tenant()]) end,
  c = function() local k = tenant(); return format("GET", root .. "orders?id=eq." .. (k + 200 * random(1, 999)) ..
    "&select=*,order_items(*,products(*))", reader[k]) end,
  d = function() local k = tenant(); return format("POST", root .. "events", wanting[k], event(k, 7)) end,
  e = function() local k = tenant(); return format("POST", root .. "events", writer[k], bodies[k]) end,
  f = function() return format("GET", root .. "order_items?id=gt." .. random(1, 590000) ..
    "&order=id.asc&limit=100", reader[tenant()]) end,
}
function init() math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)"), 16) % 100000) end
request = workloads[os.getenv("WORKLOAD")]
function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format('{"requests":%d,"per_second":%.1f,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3,
    latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
