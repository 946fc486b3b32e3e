/**
 * How the server hands deliveries to a member of a group: first what is due again, then what its
 * streams have new, in the order of positions over all of them.
 */
import { defineScript, type Script } from "./script.ts";

/**
 * Arguments: group, most deliveries, lease in milliseconds, token, `1` to look also where no
 * publish was noted, the mark that the bus had. Answers `gone`, or `flushed` where the bus has
 * another mark, or: milliseconds until something is due (-1 for never), whether there may be more,
 * then for each delivery a text of its position, attempt and reference, and its event.
 */
export const claimScript: Script = defineScript(`
local group, max, lease, token = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local record = record_of(group)
if not record then return call('HGET', KEYS[1], 'mark') == ARGV[6] and 'gone' or 'flushed' end
local D, DUE, HELD = part(group, 'd'), part(group, 'due'), part(group, 'held')
local ms = now_ms()
local ends = ms + lease
local answer, taken = { -1, 0 }, 0
local mostBehind, mostLate = 10000, 8
local freed = false

local function hand_out(ref, d, event)
  d.state, d.token = 'L', token
  keep_delivery(group, ref, d, ends)
  taken = taken + 1
  answer[#answer + 1] = d.at .. ' ' .. text(d.attempt) .. ' ' .. ref
  answer[#answer + 1] = event
end

local function event_at(d, ref)
  local own = call('HGET', part(group, 'c'), ref)
  if own then return own end
  if d.domain == '-' then return nil end
  local entry = call('XRANGE', stream_of(d.domain), d.at, d.at)[1]
  return entry and (fields_of(entry).event or '')
end

-- The leases of a claim have run out: what it still holds is due, each by itself.
local function take_back()
  local late = call('ZRANGEBYSCORE', HELD, '-inf', ms, 'WITHSCORES', 'LIMIT', 0, mostLate)
  for at = 1, #late, 2 do
    local refs = cjson.decode(call('HGET', part(group, 'of'), late[at]) or '[]')
    for number, line in ipairs(#refs > 0 and call('HMGET', D, unpack(refs)) or {}) do
      local d = parse(line)
      if d and d.state == 'H' and d.token == late[at] then
        d.state = 'L'
        keep_delivery(group, refs[number], d, late[at + 1])
      end
    end
    let_go(group, late[at], #refs)
  end
  if #late == 2 * mostLate then answer[2] = 1 end
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

local function sort_by_place(entries)
  for _, entry in ipairs(entries) do entry.ms, entry.number = split(entry[1]) end
  table.sort(entries, function(left, right)
    return left.ms < right.ms or (left.ms == right.ms and left.number < right.number)
  end)
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
        ahead[#ahead + 1] = { entry[1], domain = domain }
      end
    end
    sort_by_place(ahead)
    for at = 1, math.min(count, #ahead) do
      counts[ahead[at].domain] = (counts[ahead[at].domain] or 0) + 1
    end
  end
  local entries = {}
  for domain, wanted in pairs(counts) do
    local got = read(domain, wanted)
    for _, entry in ipairs(got) do
      entry.domain = domain
      entries[#entries + 1] = entry
    end
    if #got > 0 then
      cursor[domain] = got[#got][1]
      call('HSET', part(group, 'cur'), domain, cursor[domain])
    end
  end
  if #active > 1 then sort_by_place(entries) end
  return entries
end

-- What all entries need is asked and written in one command each: most events are one of many.
local used, wanted = {}, {}
local function is_wanted(type)
  if not type then return true end
  if wanted[type] == nil then wanted[type] = matches(record.prefixes, type) end
  return wanted[type]
end
local function free_reference(id)
  local number = 0
  local ref
  repeat
    number = number + 1
    ref = id .. '#' .. number
  until not used[ref] and call('HEXISTS', D, ref) == 0
  return ref
end

local function passed_over(entries)
  local places, kept = {}, {}
  for _, entry in ipairs(entries) do
    local list = entry[2]
    -- As it is written here; others may write other fields, and in another order.
    if #list == 6 and list[1] == 'id' and list[3] == 'type' and list[5] == 'event' then
      entry.id, entry.type, entry.event = list[2], list[4], list[6]
    else
      local fields = fields_of(entry)
      entry.id, entry.type, entry.event = fields.id, fields.type, fields.event
      entry.key, entry.due = fields.key, fields.due
    end
    if is_wanted(entry.type) then kept[#kept + 1] = entry
    else
      local over = places[entry.domain] or {}
      places[entry.domain] = over
      over[#over + 1] = entry[1]
    end
  end
  for domain, list in pairs(places) do call('XACK', stream_of(domain), group, unpack(list)) end
  return kept
end

local leased, ordered = 'H 1 ' .. token .. ' ', record.ordered
local held = {}
local function line_up(found)
  local entries = passed_over(found)
  if #entries == 0 then return end
  local refs, lines = {}, {}
  for at, entry in ipairs(entries) do refs[at] = (entry.id or entry[1]) .. '#0' end
  local is_taken = call('HMGET', D, unpack(refs))
  local next_ = #answer
  for at, entry in ipairs(entries) do
    local place, domain, ref = entry[1], entry.domain, refs[at]
    if is_taken[at] or used[ref] then ref = free_reference(entry.id or place) end
    used[ref] = true
    local key = ordered and entry.key or nil
    local due = entry.due and tonumber(entry.due)
    if key or (due and due > ms) then
      local d = { state = 'R', attempt = 1, at = place, domain = domain, key = key }
      if due and due > ms then
        d.state = 'S'
        keep_delivery(group, ref, d, due)
      elseif take_lane(group, ref, d) then
        hand_out(ref, d, entry.event or '')
        next_ = next_ + 2
      end
    else
      lines[#lines + 1] = ref
      lines[#lines + 1] = leased .. place .. ' ' .. domain
      held[#held + 1] = ref
      taken = taken + 1
      answer[next_ + 1], answer[next_ + 2] = place .. ' 1 ' .. ref, entry.event or ''
      next_ = next_ + 2
    end
  end
  if #lines > 0 then call('HSET', D, unpack(lines)) end
end
local function hold()
  if #held == 0 then return end
  call('ZADD', HELD, ends, token)
  call('HSET', part(group, 'of'), token, cjson.encode(held))
  call('HSET', part(group, 'left'), token, #held)
end

local function behind()
  if not record.ordered then return 0 end
  local count = call('HLEN', D) - call('ZCARD', DUE)
  for _, left in ipairs(call('HVALS', part(group, 'left'))) do count = count - left end
  return count
end

take_back()
take_due()
local looked = 0
if taken < max and behind() < mostBehind then
  local cursor = cursors(group, record)
  while taken < max and looked < 1024 do
    local entries = next_entries(cursor, math.min(max - taken, 256))
    if #entries == 0 then break end
    looked = looked + #entries
    line_up(entries)
  end
  hold()
end
if looked >= 1024 or freed then answer[2] = 1 end
for _, key in ipairs({ DUE, HELD }) do
  local left = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  left = left and math.max(0, tonumber(left) - ms)
  if left and (answer[1] < 0 or left < answer[1]) then answer[1] = left end
end
return answer
`);
