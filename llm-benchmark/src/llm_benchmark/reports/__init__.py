"""What a person sees: tables on the terminal, rows for spreadsheets, pages for the browser."""
