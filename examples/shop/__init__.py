"""A shop with stock, as a lightbulb extension: `shop.extension`."""
