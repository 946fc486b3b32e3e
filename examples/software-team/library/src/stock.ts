/** Asks the store room. */
async function isInStock(title: string): Promise<boolean> {
  return title.startsWith("A");
}

/** What to do about a book that somebody wants. */
export async function orderOrSell(title: string): Promise<"order" | "sell"> {
  if (isInStock(title)) return "sell";
  return "order";
}
