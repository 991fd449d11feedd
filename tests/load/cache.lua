-- Reads for tests/load/cache.py: WORKLOAD a or f over a hundred addresses, APIKEY the anon key.
local headers = { apikey = os.getenv("APIKEY") }
local addresses = {
  a = function() return "/rest/v1/products?id=eq." .. math.random(1, 100) end,
  f = function() return "/rest/v1/order_items?id=gt." .. 5000 * math.random(1, 100) .. "&order=id.asc&limit=100" end,
}
local address = addresses[os.getenv("WORKLOAD")]
function init() math.randomseed(os.time()) end
function request() return wrk.format("GET", address(), headers) end
function done(summary)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.stderr:write(summary.requests, " ", errors.status + broken, "\n")
end
