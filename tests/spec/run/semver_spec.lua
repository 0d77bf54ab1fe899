-- pai.semver: versions as tools print them.
local semver = require("pai.semver")

describe("pai.semver", function()
  local function found(text)
    local version = semver.find(text)
    return version and version.text
  end

  it("finds a version in what a tool prints", function()
    assert.are.equal("2.39.5", found("git version 2.39.5"))
    assert.are.equal("3.14.2", found("v3.14.2+gc309b6f"))
    assert.are.equal("1.31.7", found("MicroK8s v1.31.7 revision 7979"))
    assert.are.equal("1.6.0", found("jq-1.6"))
    assert.are.equal("9.2.0", found("OpenSSH_9.2p1 Debian-2+deb12u3"))
    assert.is_nil(found("no version here, 7"))
  end)

  it("reads a whole text as one", function()
    assert.are.equal("2.0.0", semver.parse("v2").text)
    assert.are.equal("1.9.0", semver.parse("1.9").text)
    assert.are.equal("1.31.2", semver.parse("v1.31.2-rc.1+k3s1").text)
    assert.is_nil(semver.parse("one"))
    assert.is_nil(semver.parse(""))
  end)

  it("compares by number", function()
    assert.is_true(semver.within(semver.parse("1.10.0"), "1.9.8"))
    assert.is_false(semver.within(semver.parse("1.9.7"), "1.9.8"))
    assert.is_false(semver.within(semver.parse("2.0.0"), "1.9.8", "2.0.0"))
    assert.is_true(semver.within(semver.parse("1.9.8-beta"), "1.9.8", "2"))
    assert.are.equal(0, semver.compare(semver.parse("1.2"), semver.parse("v1.2.0")))
  end)
end)
