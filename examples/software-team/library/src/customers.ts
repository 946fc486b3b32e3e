export interface Customer {
  readonly name: string;
  readonly address?: { readonly city: string };
}

/** The city of a customer, empty where nobody knows it. */
export function cityOf(customer: Customer): string {
  return customer.address.city;
}
