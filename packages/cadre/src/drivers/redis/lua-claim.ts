/**
 * How the server hands deliveries to a member of a group: first what is due again, then what its
 * streams have new, in the order of positions over all of them.
 */
import { defineScript, type Script } from "./script.ts";

/**
 * Arguments: group, most deliveries, lease in milliseconds, token, `1` to look also where no
 * publish was noted, the mark that the bus had. Answers `gone`, or `flushed` where the bus has
 * another mark, or: milliseconds until something is due (-1 for
 * never), whether there may be more, then for each delivery its reference, attempt, position and
 * event.
 */
export const claimScript: Script = defineScript(`
local group, max, lease, token = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local record = record_of(group)
if not record then return call('HGET', KEYS[1], 'mark') == ARGV[6] and 'gone' or 'flushed' end
local D, DUE = part(group, 'd'), part(group, 'due')
local ms = now_ms()
local ends = ms + lease
local answer, taken = { -1, 0 }, 0
local mostBehind = 10000
local freed = false

local function hand_out(ref, d, event)
  d.state, d.token = 'L', token
  keep_delivery(group, ref, d, ends)
  taken = taken + 1
  for _, value in ipairs({ ref, d.attempt, d.at, event }) do answer[#answer + 1] = value end
end

local function event_at(d, ref)
  local own = call('HGET', part(group, 'c'), ref)
  if own then return own end
  if d.domain == '-' then return nil end
  local entry = call('XRANGE', stream_of(d.domain), d.at, d.at)[1]
  return entry and (fields_of(entry).event or '')
end

local function take_due()
  while taken < max do
    local refs = call('ZRANGEBYSCORE', DUE, '-inf', ms, 'LIMIT', 0, max - taken)
    if #refs == 0 then return end
    for _, ref in ipairs(refs) do
      local d = load_delivery(group, ref)
      if not d then call('ZREM', DUE, ref)
      elseif take_lane(group, ref, d) then
        local event = event_at(d, ref)
        if d.state == 'L' then d.attempt = d.attempt + 1 end
        if event then hand_out(ref, d, event)
        -- Somebody has deleted the event by hand.
        else freed = drop(group, ref, d, ms) or freed end
      end
    end
  end
end

local function read(domain, count)
  local key = stream_of(domain)
  local args = { 'XREADGROUP', 'GROUP', group, 'cadre', 'COUNT', count, 'STREAMS', key, '>' }
  local got = redis.pcall(unpack(args))
  if got and got.err then
    if not string.find(got.err, 'NOGROUP') then error(got.err) end
    create(group, domain, call('HGET', part(group, 'cur'), domain))
    got = call(unpack(args))
  end
  return got and got[1] and got[1][2] or {}
end

-- The next of the streams that have some, oldest first over all of them.
local function next_entries(cursor, count)
  local active = {}
  local look = ARGV[5] == '1'
  local noted = {}
  if not look then
    local flat = call('HGETALL', STREAMS)
    for at = 1, #flat, 2 do noted[flat[at]] = flat[at + 1] end
  end
  for domain, last in pairs(cursor) do
    if look or (noted[domain] and before(last, noted[domain])) then
      active[#active + 1] = domain
    end
  end
  local counts = {}
  if #active == 1 then counts[active[1]] = count
  else
    local ahead = {}
    for _, domain in ipairs(active) do
      local range = { stream_of(domain), '(' .. cursor[domain], '+', 'COUNT', count }
      for _, entry in ipairs(call('XRANGE', unpack(range))) do
        ahead[#ahead + 1] = { entry[1], domain }
      end
    end
    table.sort(ahead, function(left, right) return before(left[1], right[1]) end)
    for at = 1, math.min(count, #ahead) do
      counts[ahead[at][2]] = (counts[ahead[at][2]] or 0) + 1
    end
  end
  local entries = {}
  for domain, wanted in pairs(counts) do
    local got = read(domain, wanted)
    for _, entry in ipairs(got) do entries[#entries + 1] = { entry[1], domain, entry } end
    if #got > 0 then
      cursor[domain] = got[#got][1]
      call('HSET', part(group, 'cur'), domain, cursor[domain])
    end
  end
  if #active > 1 then
    table.sort(entries, function(left, right) return before(left[1], right[1]) end)
  end
  return entries
end

local function line_up(place, domain, entry)
  local fields = fields_of(entry)
  if not matches(record.prefixes, fields.type) then
    call('XACK', stream_of(domain), group, place)
    return
  end
  local number = 0
  local id = fields.id or place
  while call('HEXISTS', D, id .. '#' .. number) == 1 do number = number + 1 end
  local ref = id .. '#' .. number
  local d = { state = 'R', attempt = 1, at = place, domain = domain }
  if record.ordered then d.key = fields.key end
  local due = tonumber(fields.due)
  if due and due > ms then
    d.state = 'S'
    keep_delivery(group, ref, d, due)
  elseif take_lane(group, ref, d) then hand_out(ref, d, fields.event or '') end
end

local function behind()
  if not record.ordered then return 0 end
  return call('HLEN', D) - call('ZCARD', DUE)
end

take_due()
local looked = 0
if taken < max and behind() < mostBehind then
  local cursor = cursors(group, record)
  while taken < max and looked < 1024 do
    local entries = next_entries(cursor, math.min(max - taken, 256))
    if #entries == 0 then break end
    looked = looked + #entries
    for _, entry in ipairs(entries) do line_up(entry[1], entry[2], entry[3]) end
  end
end
if looked >= 1024 or freed then answer[2] = 1 end
local first = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
if first[2] then answer[1] = math.max(0, tonumber(first[2]) - ms) end
return answer
`);

/**
 * Arguments: for each delivery its group, reference, token, what is to be done, and for how many
 * milliseconds. Answers 1 for each that was its owner's, else 0.
 */
export const settleScript: Script = defineScript(`
local ms = now_ms()
local answers, woken = {}, {}
for at = 1, #ARGV, 5 do
  local group, ref, token, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local span = tonumber(ARGV[at + 4])
  local d = load_delivery(group, ref)
  local owned = d and d.state == 'L' and d.token == token
  answers[#answers + 1] = owned and 1 or 0
  if not owned then
    -- nothing is changed
  elseif kind == 'extend' then
    call('ZADD', part(group, 'due'), ms + span, ref)
  elseif kind == 'ack' then
    if drop(group, ref, d, ms) then woken[group] = true end
  else
    d.token = nil
    if kind == 'retry' then d.attempt = d.attempt + 1 end
    if kind == 'park' then d.state = 'P'
    elseif span > 0 then d.state = 'D'
    else d.state = 'R' end
    keep_delivery(group, ref, d, kind ~= 'park' and ms + span or nil)
    local skips = d.key and d.state ~= 'R' and (record_of(group) or {}).ordered == 'skip'
    local freed = skips and leave_lane(group, ref, d, ms)
    if kind ~= 'park' or freed then woken[group] = true end
  end
end
for group in pairs(woken) do tell('g', group) end
return answers
`);
