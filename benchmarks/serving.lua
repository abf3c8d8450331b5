-- wrk posts the lines of a file, one after the other: wrk -s serving.lua URL -- PATH BODIES KEY [DELAY_MS]
local bodies, at, path, wait = {}, 0, nil, 0

function init(arguments)
  path = arguments[1]
  for line in io.lines(arguments[2]) do bodies[#bodies + 1] = line end
  wrk.headers["Content-Type"] = "application/json"
  if arguments[3] and arguments[3] ~= "" then wrk.headers["Authorization"] = "Bearer " .. arguments[3] end
  wait = tonumber(arguments[4] or "0")
  if wait <= 0 then delay = nil end
end

function delay()
  return wait
end

function request()
  at = at % #bodies + 1
  return wrk.format("POST", path, nil, bodies[at])
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "max_ms": %f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
