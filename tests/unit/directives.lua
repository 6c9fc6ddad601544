-- directives.lua FOLDER -- tests of pmio_directives.lua, job_submit.lua and burst_buffer.lua there; run by directives.sh; TAP
local DIR = arg[1]
local MIB = 1048576
local D = dofile(DIR .. "/pmio_directives.lua")
local conf = { POOL = "pmem", NODE_CAPACITY = 128 * MIB, CAPACITY = 256 * MIB }

local tests, failed = 0, 0
local function check(name, fn)
  tests = tests + 1
  local ok, why = pcall(fn)
  print((ok and "ok " or "not ok ") .. tests .. " - " .. name)
  if not ok then
    failed = failed + 1
    print("# " .. tostring(why):sub(1, 1000):gsub("%c", "?"))
  end
end

local function equal(a, b)
  if a ~= b then error(("%s, and not %s"):format(tostring(a):sub(1, 300), tostring(b)), 2) end
end
local function refused(script, with)
  local spec, why = D.parse(script, conf)
  if spec ~= nil or not why then error("it is taken: " .. script:sub(1, 100), 2) end
  if not why:find(with, 1, true) then error(("'%s' is not in: %s"):format(with, why:sub(1, 300)), 2) end
  if #why > 500 then error(("the message has %d characters"):format(#why), 2) end
  if why:find("%c") then error("the message has control characters", 2) end
end
local function taken(script)
  local spec, why = D.parse(script, conf)
  if not spec then error(why, 2) end
  return spec
end

-- ---- sizes --------------------------------------------------------------------------------

check("sizes", function()
  for text, bytes in pairs({
    ["0"] = 0, ["1"] = 1, ["12b"] = 12, ["1k"] = 1024, ["1.5GiB"] = 1.5 * 2^30, ["1.5gb"] = 1.5e9, ["3.M"] = 3 * MIB,
    ["0.0001k"] = 1, ["2TiB"] = 2^41, ["7PB"] = 7e15, ["0000000000000000000000000000016M"] = 16 * MIB,
  }) do
    equal(D.size(text), bytes)
  end
  for _, text in ipairs({ "", ".5", "M", "1.5.2GiB", "1x", "1GiBi", "1 G", "-1", "+1", "0x10", "1e3", "9P", "1iB", "1..2", "1\0" }) do
    equal(D.size(text), nil)
  end
  equal(D.size(("1"):rep(33)), nil)
end)

check("redirect=", function()
  equal(taken("#PMEM capacity=16M redirect=/pfs/run7/*:/pfs/in/*.dat\n").redirect, "/pfs/run7/*:/pfs/in/*.dat")
  equal(taken("#PMEM use_persistent name=a\n#PMEM redirect=/a\n").redirect, "/a")
  refused("#PMEM capacity=16M redirect=run7/*\n", "'run7/*': each pattern of redirect= must begin with a slash")
  refused("#PMEM capacity=16M redirect=/a:\n", "''")
  refused("#PMEM capacity=16M redirect=/a redirect=/b\n", "twice")
  refused("#PMEM capacity=16M redirect=/" .. ("a"):rep(4095) .. "\n", "4095 characters at most")
  refused("#PMEM redirect=/a\n", "no memory to work with")
end)

-- ---- how much may be written ----------------------------------------------------------------

-- A pattern that can share digits out between two repetitions tries all ways before it says no: hours for a million of
-- them.  The bound is far from what it should take.
local function quickly(fn, ...)
  local begun = os.clock()
  fn(...)
  local took = os.clock() - begun
  if took > 20 then error(("it took %.1f s"):format(took), 2) end
end
local many = ("1"):rep(1000000) .. "!"
for _, word in ipairs({ "capacity=%s", "per_node=%s", "capacity=%sG", "target_size=%s", "targets=%s", "create_persistent name=a capacity=%s",
  "create_persistent name=a capacity=16M targets=%s", "drain=%s", "%s", "stage_in source=/%s", "stage_in source=%s", "use_persistent name=%s" }) do
  check("a million digits: " .. word, function()
    quickly(refused, ("#PMEM %s\n"):format(word:format(many)), "too many characters")
  end)
end
check("as many as a word may have are looked at in no time, too", function()
  for _, word in ipairs({ "capacity=%s", "targets=%s", "create_persistent name=%s capacity=16M", "drain=%s", "%s", "stage_in source=%s" }) do
    quickly(refused, ("#PMEM %s\n"):format(word:format(many:sub(-8000))), "'")
  end
end)
check("... and other lines of any length", function()
  quickly(refused, "#PMEM " .. (" "):rep(1000000) .. "capacity=x\n", "too many characters")
  quickly(refused, "#PMEM" .. (" \\"):rep(500000) .. "\n", "too many characters")
  quickly(refused, "#PMEM capacity=16M\n" .. ("\n"):rep(1000000) .. "true\n#PMEM pool=pmem\n", "before the first command")
  quickly(taken, "#PMEM capacity=16M\n" .. (" "):rep(1000000) .. "\n" .. ("#"):rep(1000000) .. "\n")
end)
check("so many lines, and no more", function()
  taken("#PMEM capacity=16M\n" .. ("#PMEM stage_in source=/a\n"):rep(255))
  refused("#PMEM capacity=16M\n" .. ("#PMEM stage_in source=/a\n"):rep(256), "line 257: too many #PMEM lines: 256 at most")
  refused("#PMEM capacity=16M\n" .. ("#PMEM\n"):rep(256), "too many #PMEM lines")
end)
check("so many characters in a line that goes on", function()
  refused("#PMEM capacity=16M \\\n" .. ("#PMEM" .. (" "):rep(8000) .. "\\\n"):rep(3), "line 4: too many characters in a #PMEM line: 16384 at most")
end)
check("so many characters in all", function()
  refused("#PMEM capacity=16M\n" .. ("#PMEM stage_in source=/" .. ("a"):rep(4000) .. "\n"):rep(20), "too many characters in #PMEM lines: 65536 at most")
end)
check("so many words in a line", function()
  refused("#PMEM capacity=16M" .. (" pool=pmem"):rep(64) .. "\n", "line 1: too many words in a #PMEM line: 64 at most")
  taken("#PMEM capacity=16M" .. (" pool=pmem"):rep(63) .. "\n")
end)
check("paths as long as the system has them", function()
  equal(#taken("#PMEM capacity=16M\n#PMEM stage_in source=/" .. ("a"):rep(4094) .. "\n").stage_in[1], 4095)
  refused("#PMEM capacity=16M\n#PMEM stage_in source=/" .. ("a"):rep(4095) .. "\n", "a path has 4095 characters at most")
  refused("#PMEM capacity=16M targets=/" .. ("a"):rep(4095) .. "\n", "a path has 4095 characters at most")
end)

-- ---- messages ---------------------------------------------------------------------------------

check("80 characters are quoted at most", function()
  local _, why = D.parse("#PMEM capacity=" .. ("x"):rep(1000) .. "\n", conf)
  equal(why, "line 1: '" .. ("x"):rep(77) .. "...' is not a size: a number and a unit, such as 1.5GiB")
  refused("#PMEM" .. ("x"):rep(1000000) .. "\n", "there must be a space behind #PMEM")
end)
check("control characters are neither taken nor shown", function()
  refused("#PMEM capacity=16M stage\27[31m\n", "line 1: 'stage?[31m': control characters")
  refused("#PMEM capacity=16M\n#PMEM stage_in source=/a\127b\n", "line 2: 'source=/a?b': control characters")
  refused("#PMEM capacity=\194\1551\n", "'?1' is not a size")
  refused("#PMEM\27[2J\n", "there must be a space")
end)
check("a backslash is the last of its line, or in the middle of a word", function()
  refused("#PMEM capacity=16M stage_in\\ # more\n", "line 1: 'stage_in\\': a word ends with a backslash")
  refused("#PMEM capacity=16M pool=pmem\\\\\n#PMEM\n", "a word ends with a backslash")
  equal(taken("#PMEM capacity=16M\\ \n#PMEM drain=hold\n").set.drain, "hold")
  equal(taken("#PMEM capacity=16M\n#PMEM stage_in source=/a\\b\n").stage_in[1], "/a\\b")
end)
check("words that are only a part of one that is known", function()
  refused("#PMEM create_persistent name=a capacity=16M e=1\n", "'e=1' does not go with create_persistent, which takes name=, capacity=, targets=")
  refused("#PMEM destroy_persistent name=a ame=b\n", "'ame=b' does not go with destroy_persistent, which takes name=")
end)

check("per_node is not more than capacity", function()
  refused("#PMEM per_node=98M\n", "per_node= is for job_submit.lua only")
  refused("#PMEM capacity=16M per_node=17M\n", "per_node= is for job_submit.lua only")
  equal(taken("#PMEM capacity=32M per_node=16M\n").per_node, 16 * MIB)
end)

-- ---- job_submit.lua ------------------------------------------------------------------------------

local said
slurm = { SUCCESS = 0, ERROR = -1, log_user = function(format, ...) said = format:format(...) end, log_error = function() end }
dofile(DIR .. "/job_submit.lua")
-- of a job; returns nil, or what the user is told
local function submit(job)
  said = nil
  local rc = slurm_job_submit(job, nil, 1000)
  if (rc == slurm.SUCCESS) ~= (said == nil) then error("it says: " .. tostring(said), 2) end
  return said
end
local function spank(...) return { min_nodes = 2, spank_job_env = { [0] = "OTHER=1", ... } } end

check("the lines as Slurm sees them", function()
  local job = { min_nodes = 2, script = "#!/bin/sh\n#PMEM capacity=16.5MiB drain=hold # all\n#PMEM create_persistent name=a capacity=20M\ntrue\n" }
  equal(submit(job), nil)
  equal(job.script, "#!/bin/sh\n#PMEM pool=pmem capacity=34M per_node=17M drain=hold\n#PMEM create_persistent name=a bytes=20M\ntrue\n")
  equal(job.tres_per_node, "gres:pmem:17")
end)
check("... that go on in the next, also behind a comment", function()
  local job = { script = "#!/bin/sh\n#PMEM \\\n#PMEM create_persistent # one \\\n#PMEM name=a \\\n#PMEM capacity=20M\n#PMEM capacity=16M\\\n#PMEM drain=hold\n" }
  equal(submit(job), nil)
  equal(job.script, "#!/bin/sh\n#PMEM  \\\n#PMEM create_persistent \\\n#PMEM name=a  \\\n#PMEM bytes=20M\n#PMEM pool=pmem capacity=16M per_node=16M \\\n#PMEM drain=hold\n")
  equal(#taken(job.script).create, 1)
end)
check("... of --bb", function()
  local job = { burst_buffer = "#PMEM capacity=16MiB", tres_per_node = "gres:gpu:1" }
  equal(submit(job), nil)
  equal(job.tres_per_node, "gres:gpu:1,gres:pmem:16")
end)
check("a million digits are refused there, too", function()
  quickly(function()
    equal(submit({ script = "#!/bin/sh\n#PMEM capacity=" .. many .. "\n" }), "#PMEM: line 2: too many characters in #PMEM lines: 65536 at most")
  end)
end)
check("--pmem is counted", function()
  local job = spank("PMIO_CAPACITY=16777217")
  equal(submit(job), nil)
  equal(job.tres_per_node, "gres:pmem:17")
end)
check("... unless there are #PMEM lines", function()
  local job = spank("PMIO_CAPACITY=9000000000000")
  job.script = "#!/bin/sh\n#PMEM capacity=20MiB\n"
  equal(submit(job), nil)
  equal(job.tres_per_node, "gres:pmem:20")
end)
check("--pmem of more than a node has, or all of them", function()
  equal(submit(spank("PMIO_CAPACITY=134217729")), "--pmem: 128.0 MiB on each node are requested, but a node has 128 MiB")
  local job = spank("PMIO_CAPACITY=134217728")
  job.min_nodes = 3
  equal(submit(job), "--pmem: 128 MiB on each of 3 nodes exceed the total of 256 MiB")
end)
check("what SPANK's value may be", function()
  for _, v in ipairs({ "", "0", "-1", "1.5", "016", "1e9", "a[0]", "12345678901234567", " 1", "0x10", ("1"):rep(100000) }) do
    if not submit(spank("PMIO_CAPACITY=" .. v)):find("is not a number of bytes", 1, true) then error(said) end
    if #said > 200 then error("it is too long") end
  end
  equal(submit(spank("PMIO_CAPACITY=16777216", "PMIO_CAPACITY=16777216")), "--pmem is given twice")
end)

-- ---- other versions of Slurm ------------------------------------------------------------------------

check("GRES as Slurm 24.11 writes it", function()
  slurm.STEPMGR_ENABLED = 1
  local job = { script = "#!/bin/sh\n#PMEM capacity=20MiB\n" }
  equal(submit(job), nil)
  equal(job.tres_per_node, "gres/pmem:20")
  slurm.STEPMGR_ENABLED = nil
end)

dofile(DIR .. "/burst_buffer.lua")
local ran -- the helper's words
io.popen = function(command)
  ran = command:match("'none' (.*); }")
  return { read = function() return "rc=0\n" end, close = function() end }
end
check("scontrol show bbstat: jobs, and not the user and group that Slurm 23.02 and later put before them", function()
  slurm_bb_get_status()
  equal(ran, "'status'")
  slurm_bb_get_status("12", "13")
  equal(ran, "'status' '12' '13'")
  slurm.SLURM_BB_BUSY = "BUSY"
  slurm_bb_get_status("65534", "0")
  equal(ran, "'status'")
  slurm_bb_get_status("65534", "0", "12")
  equal(ran, "'status' '12'")
  slurm.SLURM_BB_BUSY = nil
end)

print("1.." .. tests)
os.exit(failed == 0 and 0 or 1)
