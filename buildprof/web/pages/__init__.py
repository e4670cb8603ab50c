"""The pages for people: each file asks the store, makes a view of plain values, and renders one template of it."""
