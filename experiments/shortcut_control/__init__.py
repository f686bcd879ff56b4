"""A shortcut put into the pictures on purpose: what does each strategy make of it?"""
