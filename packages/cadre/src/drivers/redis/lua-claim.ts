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
    local fields, domain = fields_of(entry[3]), entry[2]
    if is_wanted(fields.type) then
      entry[3] = fields
      kept[#kept + 1] = entry
    else
      local list = places[domain] or {}
      places[domain] = list
      list[#list + 1] = entry[1]
    end
  end
  for domain, list in pairs(places) do call('XACK', stream_of(domain), group, unpack(list)) end
  return kept
end

local leased, ordered = 'L 1 ' .. token .. ' ', record.ordered
local function line_up(found)
  local entries = passed_over(found)
  if #entries == 0 then return end
  local refs, lines, dues = {}, {}, {}
  for at, entry in ipairs(entries) do refs[at] = (entry[3].id or entry[1]) .. '#0' end
  local is_taken = call('HMGET', D, unpack(refs))
  local count, next_ = 0, #answer
  for at, entry in ipairs(entries) do
    local place, domain, fields, ref = entry[1], entry[2], entry[3], refs[at]
    if is_taken[at] or used[ref] then ref = free_reference(fields.id or place) end
    used[ref] = true
    local key = ordered and fields.key or nil
    local due = fields.due and tonumber(fields.due)
    if key or (due and due > ms) then
      local d = { state = 'R', attempt = 1, at = place, domain = domain, key = key }
      if due and due > ms then
        d.state = 'S'
        keep_delivery(group, ref, d, due)
      elseif take_lane(group, ref, d) then
        hand_out(ref, d, fields.event or '')
        next_ = next_ + 4
      end
    else
      lines[count + 1], lines[count + 2] = ref, leased .. place .. ' ' .. domain
      dues[count + 1], dues[count + 2] = ends, ref
      count = count + 2
      taken = taken + 1
      answer[next_ + 1], answer[next_ + 2] = ref, 1
      answer[next_ + 3], answer[next_ + 4] = place, fields.event or ''
      next_ = next_ + 4
    end
  end
  if count == 0 then return end
  call('HSET', D, unpack(lines))
  call('ZADD', DUE, unpack(dues))
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
    line_up(entries)
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
local open, done = {}, {}
for at = 1, #ARGV, 5 do
  local group = ARGV[at]
  local refs = open[group] or { list = {}, found = {} }
  open[group] = refs
  refs.list[#refs.list + 1] = ARGV[at + 1]
end
for group, refs in pairs(open) do
  for at, line in ipairs(call('HMGET', part(group, 'd'), unpack(refs.list))) do
    refs.found[refs.list[at]] = parse(line)
  end
  done[group] = { refs = {}, places = {} }
end
for at = 1, #ARGV, 5 do
  local group, ref, token, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local span = tonumber(ARGV[at + 4])
  local d = open[group].found[ref]
  local owned = d and d.state == 'L' and d.token == token
  answers[#answers + 1] = owned and 1 or 0
  if not owned then
    -- nothing is changed
  elseif kind == 'extend' then
    call('ZADD', part(group, 'due'), ms + span, ref)
  elseif kind == 'ack' then
    open[group].found[ref] = nil
    if d.key then
      if drop(group, ref, d, ms) then woken[group] = true end
    else
      local gone = done[group]
      gone.refs[#gone.refs + 1] = ref
      if d.domain ~= '-' then
        local places = gone.places[d.domain] or {}
        gone.places[d.domain] = places
        places[#places + 1] = d.at
      end
    end
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
for group, gone in pairs(done) do
  if #gone.refs > 0 then
    for _, name in ipairs({ 'd', 'c' }) do call('HDEL', part(group, name), unpack(gone.refs)) end
    call('ZREM', part(group, 'due'), unpack(gone.refs))
    for domain, places in pairs(gone.places) do
      call('XACK', stream_of(domain), group, unpack(places))
    end
  end
end
for group in pairs(woken) do tell('g', group) end
return answers
`);
