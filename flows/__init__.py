"""The routes a bid takes through the house, and the doors through which people start them."""
