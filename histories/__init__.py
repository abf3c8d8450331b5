"""Order lines, events, customers, products: imported, checked, stored, read back as sorted arrays."""
