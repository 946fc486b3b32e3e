import assert from "node:assert/strict";
import { test } from "node:test";
import {
  basketLines,
  cityOf,
  formatMoney,
  median,
  orderOrSell,
  pageOf,
  parsePrice,
  shelfLabel,
} from "../src/index.ts";

test("a price becomes cents, and cents a price", () => {
  assert.equal(parsePrice("12.5"), 1250);
  assert.equal(formatMoney({ cents: 1250, currency: "EUR" }), "12.50 EUR");
});

test("a basket has a line for each book and one for all", () => {
  const lines = basketLines([
    { title: "Emma", cents: 900 },
    { title: "Ulysses", cents: 1500 },
  ]);
  assert.deepEqual(lines, ["Emma: 9.00 EUR", "Ulysses: 15.00 EUR", "all: 24.00 EUR"]);
});

test("a customer may have no address", () => {
  assert.equal(cityOf({ name: "Ada", address: { city: "Turin" } }), "Turin");
  assert.equal(cityOf({ name: "Bob" }), "");
});

test("a label has eight letters of the title", () => {
  assert.equal(shelfLabel("B7 Frankenstein", 700), "Frankens 7.00 EUR");
});

test("the first page is the first items", () => {
  assert.deepEqual(pageOf(["a", "b"], 1, 5), ["a", "b"]);
});

test("no item is on two pages", () => {
  assert.deepEqual(pageOf(["a", "b", "c", "d", "e"], 1, 2), ["a", "b"]);
  assert.deepEqual(pageOf(["a", "b", "c", "d", "e"], 2, 2), ["c", "d"]);
});

test("the median is by value", () => {
  assert.equal(median([1000, 900, 80]), 900);
});

test("what is not in stock is ordered", async () => {
  assert.equal(await orderOrSell("Atonement"), "sell");
  assert.equal(await orderOrSell("Beloved"), "order");
});
