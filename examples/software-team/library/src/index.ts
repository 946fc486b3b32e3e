export { basketLines, type BasketLine } from "./basket.ts";
export { cityOf, type Customer } from "./customers.ts";
export { shelfLabel } from "./labels.ts";
export { formatMoney, parsePrice, type Money } from "./money.ts";
export { pageOf } from "./pages.ts";
export { median } from "./stats.ts";
export { orderOrSell } from "./stock.ts";
