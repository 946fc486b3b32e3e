import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { isCadreError } from "cadre";
import { actionHash, contentHash } from "cadre/agents";

test("the hash is SHA-256 over the canonical form of RFC 8785", () => {
  // echo -n '{"a":[1,true,null],"b":"é"}' | sha256sum
  assert.equal(
    contentHash({ b: "é", a: [1, true, null] }),
    "sha256:6eab153701ef60c995351765c772011bca6739878254f313acc3f11e1fef476b",
  );
});

test("equal content has one hash, in whatever order its members were set", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), fc.integer()), (members) => {
      const turned = Object.fromEntries(Object.entries(members).toReversed());
      assert.equal(contentHash(members), contentHash(turned));
    }),
  );
});

test("an approval of one action is none of another with the same content", () => {
  assert.notEqual(actionHash("read", { file: "a" }), actionHash("delete", { file: "a" }));
  assert.equal(actionHash("read", undefined), actionHash("read", null));
});

test("what has no canonical form is refused", () => {
  assert.throws(
    () => contentHash("\ud800"),
    (error) => isCadreError(error, "NOT_JSON"),
  );
  assert.throws(
    () => contentHash({ a: NaN }),
    (error) => isCadreError(error, "NOT_JSON"),
  );
});
