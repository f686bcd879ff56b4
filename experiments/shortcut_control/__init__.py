"""A shortcut is put into the pictures on purpose: how much does each strategy use it?"""
