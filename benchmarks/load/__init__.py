"""Load generators: connections by the thousand in processes of their own."""
